-- Go on to the next attempt, as nobody knows whether this one ever had a Pod: A = id, owner, epoch, index,
-- attempt. This is no progress; it keeps each attempt to one Pod, and like a retry it uses an attempt up.
local key, refused = own_event()
if refused then return refused end
local index, attempt = A[4], A[5]
local state, nth = index_state(key, index), tostring(tonumber(attempt) + 1)
if state and state.kind == 'w' and state.attempt == nth then return {'ok'} end -- a reply that was lost
if not state or state.kind ~= 's' or state.attempt ~= attempt or state.rest ~= '' then return {'stale'} end
local intent = redis.call('HGET', key, 'c:' .. index)
if intent then return {'cancelling', intent} end
-- This owner survived its look for the Pod, so the next owner's death is not put down to that.
redis.call('HSET', key, 'i:' .. index, 'w:' .. nth .. ':' .. now_ms() .. ':', 'tried', '0')
return {'ok'}
