-- Dead-letter an entry: A = step, id, owner, task, error, time, then its fields, prefixed. The step is 'whole'; or,
-- for more fields than unpack can take, 'look' (may it be done?) and, behind the XADD of the same transaction,
-- 'close'.
local failure = broken(event_key(A[2]), 'hash') or untellable(DEAD)
if failure then return failure end
local step, id, now = A[1], A[2], now_ms()
local key = event_key(id)
local e = redis.call('HMGET', key, 'state', 'owner', 'begun')
if e[1] == 'done' then acknowledge(id) return {'done'} end
-- An entry alone must not end an open event: the replica that owns the event, or takes it from offer, decides.
if e[1] == 'open' and (e[2] ~= '' or e[3] ~= '0') then return {'owned', e[2]} end
if not e[1] and is_over(id) then acknowledge(id) return {'done'} end
if step == 'look' then return {'ok'} end
if step == 'whole' then
  local entry = {'event_id', id, 'task_id', A[4], 'error', A[5], 'at', A[6]}
  for i = 7, #A do entry[#entry + 1] = A[i] end
  append_dead(entry)
else
  -- A transaction goes on after one of its commands failed. Without its dead letter, the event must stay open.
  local last = redis.call('XREVRANGE', DEAD, '+', '-', 'COUNT', 1)[1]
  if not last or last[2][2] ~= id then return redis.error_reply('ERR the dead letter was not written') end
  count_if_intact(DEAD, last[2])
end
if not e[1] then count_taken() end
free_dedup(id, key)
close_ledger(id, key, '', '', 'dead', now)
return {'ok'}
