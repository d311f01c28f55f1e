-- Take back a start of which no create was sent, so that the attempt's number is not lost: A = id, owner,
-- epoch, index, attempt.
local key, refused = own_event()
if refused then return refused end
local index, attempt = A[4], A[5]
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
