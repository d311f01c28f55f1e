-- Take back a start of which no create was sent, so that the attempt's number is not lost: A = id, owner,
-- epoch, index, attempt.
if wiped() then return {'wiped'} end
local id, owner, epoch, index, attempt = A[1], A[2], A[3], A[4], A[5]
local key = event_key(id)
local may = ownership(key, owner, epoch)
if may ~= 'ok' then return {may} end
local state = index_state(key, index)
if not state or state.kind ~= 's' or state.attempt ~= attempt or state.rest ~= '' then return {'stale'} end
local intent = redis.call('HGET', key, 'c:' .. index)
if intent then return {'cancelling', intent} end -- it stays to be cancelled
if attempt == '0' then
  redis.call('HDEL', key, 'i:' .. index)
  redis.call('HINCRBY', key, 'begun', -1)
else
  redis.call('HSET', key, 'i:' .. index, 'w:' .. attempt .. ':' .. now_ms() .. ':')
end
return {'ok'}
