-- A Pod of an earlier installation has ended and nobody owns its event: tell its result once.
-- A = id, task, index, attempt, uid, metadata, then pod, node, status, reason, exit_code, message,
-- created_at, started_at, finished_at.
local id, now = A[1], now_ms()
local key = event_key(id)
local failure = untellable(RESULTS) or broken(key, 'hash')
if failure then return failure end
local state = redis.call('HGET', key, 'state')
if state == 'open' then return {'owned'} end
if redis.call('HEXISTS', key, 'i:' .. A[3]) == 1 or redis.call('HEXISTS', key, 'status') == 1 then return {'recorded'} end
append_result('kind', 'worker', 'event_id', id, 'task_id', A[2], 'index', A[3], 'attempt', A[4], 'pod', A[7],
  'node', A[8], 'status', A[9], 'reason', A[10], 'exit_code', A[11], 'message', A[12],
  'metadata', worker_metadata(A[6]), 'created_at', A[13], 'started_at', A[14], 'finished_at', A[15])
redis.call('HSET', key, 'state', 'done', 'i:' .. A[3], 'd:' .. A[4] .. ':' .. A[9] .. ':' .. A[5])
if not intact('ZADD', P .. 'finished', now, id) then redis.call('PEXPIRE', key, RETENTION_MS) end
return {'ok'}
