-- May this attempt's Pod be created? A = id, owner, epoch, index, attempt.
local key, refused = own_event()
if refused then return refused end
local id, index, attempt = A[1], A[4], A[5]
local state = index_state(key, index)
if not state then
  if attempt ~= '0' then return {'stale'} end
elseif state.kind == 'd' then return {'recorded'}
elseif state.attempt ~= attempt then return {'stale'}
end
local intent = redis.call('HGET', key, 'c:' .. index) -- of one that has not begun, it may stand too (cancel_index)
if intent then return {'cancelling', intent} end
if state and state.kind == 's' then
  if overtime_since(key, index, attempt) then return {'overtime', state.rest} end
  -- Only once for each owner: what it has survived once, it does not die of at the next try.
  if state.rest == '' and redis.call('HGET', key, 'tried') == '0' then redis.call('HSET', key, 'tried', now_ms()) end
  return {'again', state.rest}
end
if paused() then return {'paused'} end
redis.call('HSET', key, 'i:' .. index, 's:' .. attempt .. ':', 'tried', now_ms())
note_namespace(key, index)
if redis.call('HINCRBY', key, 'begun', 1) == 1 then
  redis.pcall('SREM', P .. 'offers', id)
  redis.call('HSETNX', key, 'first', now_ms())
end
return {'ok', ''}
