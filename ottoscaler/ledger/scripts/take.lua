-- Own an entry that was read: A = id, owner, type, task, count, expires_at, body, metadata, time,
-- begin ('1': begin the first worker in the same step; it saves an idle replica a round trip), dedup_key or ''.
local id, owner, now = A[1], A[2], now_ms()
local key = event_key(id)
local e = intact('HMGET', key, 'state', 'owner')
if not e then return broken(key, 'hash') end
if e[1] == 'done' then acknowledge(id) return {'done'} end
if e[1] then
  if e[2] == owner then return {'mine', redis.call('HGET', key, 'epoch'), redis.call('HGETALL', key)} end
  if e[2] ~= '' then return {'owned', e[2]} end
  local epoch = take_ownership(id, key, owner, now)
  return {'taken', tostring(epoch), redis.call('HGETALL', key)}
end
if is_over(id) then acknowledge(id) return {'done'} end
local failure = broken(P .. 'events', 'set') or (A[11] ~= '' and broken(dedup_name(A[11]), 'string'))
if failure then return failure end
local first = A[11] ~= '' and redis.call('GET', dedup_name(A[11]))
if first and first ~= id then
  failure = untellable(RESULTS)
  if failure then return failure end
  append_result('kind', 'event', 'event_id', id, 'task_id', A[4], 'type', A[3], 'status', 'duplicate', 'pod_count',
  A[5],
    'succeeded', '0', 'failed', '0', 'cancelled', '0', 'duration_ms', math.max(0, lasted(id, now, now)),
    'metadata', A[8], 'of', first)
  count_taken()
  close_ledger(id, key, A[3], A[4], 'duplicate', now)
  return {'duplicate', first}
end
if A[6] ~= '' and now > tonumber(A[6]) * 1000 then return {'expired'} end
local tombstone = A[3] == 'scale_up' and intact('HGET', P .. 'tombstones', A[4])
local doomed = tombstone and compare_ids(id, tombstone) < 0
failure = (doomed and untellable(RESULTS))
  or (A[3] == 'scale_down' and A[4] ~= '' and broken(P .. 'tombstones', 'hash'))
if failure then return failure end
count_taken()
if A[3] == 'scale_down' then
  local pending = redis.pcall('XPENDING', STREAM, GROUP, id, id, 1)
  if pending.err or #pending == 0 then redis.pcall('SADD', P .. 'ahead', id) end
end
local begins = A[10] == '1' and A[3] == 'scale_up' and not doomed and not paused()
local beginning = begins and {'i:0', 's:0:', 'begun', '1', 'tried', now, 'first', now, 'ns', NAMESPACE} or {}
new_event(id, key, {type = A[3], task = A[4], count = A[5], owner = owner, body = A[7], meta = A[8]}, now,
  unpack(beginning))
bear_dedup(id, key, A[11])
if doomed then
  redis.call('HSET', key, 'doomed', tombstone .. ':cancelled by ' .. tombstone)
  local ended = cancel_doomed(id, key, A[9], now)
  if ended then return {'cancelled', unbegun} end
  return {'mine', '1', redis.call('HGETALL', key), unbegun}
end
if A[3] == 'scale_down' and A[4] ~= '' then
  -- The task's older scale_ups that nobody has read yet must never run. This is noted in the step that takes
  -- ownership.
  local standing = redis.call('HGET', P .. 'tombstones', A[4])
  if not standing or compare_ids(standing, id) < 0 then redis.call('HSET', P .. 'tombstones', A[4], id) end
end
return {'new', begins and '1' or '0'}
