-- Note an attempt's first Pod: A = id, owner, epoch, index, attempt, uid.
if wiped() then return {'wiped'} end
local id, owner, epoch, index, attempt, uid = A[1], A[2], A[3], A[4], A[5], A[6]
local key = event_key(id)
local may = ownership(key, owner, epoch)
if may ~= 'ok' then return {may} end
local state = index_state(key, index)
if not state or state.kind ~= 's' or state.attempt ~= attempt then return {'stale'} end
if state.rest ~= '' and state.rest ~= uid then return {'duplicate', state.rest} end
if state.rest == '' then
  redis.call('HSET', key, 'i:' .. index, 's:' .. attempt .. ':' .. uid, 'progress', '1')
end
local intent = redis.call('HGET', key, 'c:' .. index)
if intent then return {'cancelling', intent} end
if overtime_since(key, index, attempt) then return {'overtime'} end
return {'ok'}
