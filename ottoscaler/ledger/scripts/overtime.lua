-- Intend to end a worker that is over its time limit: A = id, owner, epoch, index, attempt, uid.
-- Returns 'ok' and for how many ms that has been intended. An intent to cancel that came first stands.
local key, refused = own_event()
if refused then return refused end
local index, attempt, uid = A[4], A[5], A[6]
local state = index_state(key, index)
if state and state.kind == 'd' then return {'recorded'} end
if not state or state.kind ~= 's' or state.attempt ~= attempt or state.rest ~= uid then return {'stale'} end
local intent = redis.call('HGET', key, 'c:' .. index)
if intent then return {'cancelling', intent} end
local since, now = overtime_since(key, index, attempt), now_ms()
if not since then redis.call('HSET', key, 't:' .. index, attempt .. ':' .. now) end
return {'ok', string.format('%.0f', now - (since or now))}
