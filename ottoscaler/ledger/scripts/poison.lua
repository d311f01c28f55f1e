-- Give an event up: dead-letter it with its history, and doom it (cancel_doomed.lua cancels what has not ended).
-- A = id, owner, epoch, error, time, then the event's fields for the dead letter.
local failure = untellable(DEAD)
if failure then return failure end
local key, refused = own_event()
if refused then return refused end
local id, now = A[1], now_ms()
local kind = redis.call('HGET', key, 'type')
local history = redis.call('HGET', key, 'history') or ''
if redis.call('HGET', key, 'poisoned') ~= '1' then
  local entry = {'event_id', id, 'task_id', redis.call('HGET', key, 'task'),
    'error', A[4] .. (history ~= '' and (' History: ' .. history) or ''), 'at', A[5]}
  for i = 6, #A do entry[#entry + 1] = A[i] end
  append_dead(entry)
  redis.call('HSET', key, 'poisoned', '1')
  free_dedup(id, key)
end
if kind == 'scale_down' then
  close_ledger(id, key, kind, redis.call('HGET', key, 'task'), 'dead', now)
  return {'ok'}
end
redis.call('HSET', key, 'doomed', id .. ':' .. A[4])
return {'ok'}
