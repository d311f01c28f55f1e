-- Keep the end of an attempt's log, and let the oldest logs go past the bound or their time: A = id ('' only lets go),
-- owner, epoch, index, attempt, the log's last bytes as zlib, retention in ms, and the most bytes of all.
-- Each counts with what Redis spends on a key besides. Returns the bytes of all and how many logs went.
local OVERHEAD, GONE_AT_ONCE = 256, 2000 -- bytes; logs: some 10 ms of Redis
local order, sizes, now = P .. 'logs', P .. 'log-sizes', now_ms()
local id, body, retention, most = A[1], A[6], tonumber(A[7]), tonumber(A[8])
local failure = broken(order, 'zset') or broken(sizes, 'hash') or (id ~= '' and broken(P .. 'log:' .. id, 'set'))
if failure then return failure end
-- A nonsense total: all are counted anew. Those that are there now go by their time.
if not whole(redis.call('HGET', sizes, 'total') or '0') then redis.call('DEL', sizes) end
if id ~= '' then
  local may = ownership(event_key(id), A[2], A[3])
  -- An event ends with its last worker, and that worker's log may be kept only after that.
  if may ~= 'ok' and may ~= 'finished' then return {may} end
  local name, size = id .. ':' .. A[4] .. ':' .. A[5], #body + OVERHEAD
  if size > most then return {'large'} end
  redis.call('SET', P .. 'log:' .. name, body, 'PX', retention)
  redis.call('SADD', P .. 'log:' .. id, A[4] .. ':' .. A[5])
  redis.call('PEXPIRE', P .. 'log:' .. id, retention)
  redis.call('HINCRBY', sizes, 'total', size - count_at(sizes, name))
  redis.call('HSET', sizes, name, size)
  redis.call('ZADD', order, now, name)
end
local total, gone = count_at(sizes, 'total'), 0
while gone < GONE_AT_ONCE do
  local oldest = redis.call('ZRANGE', order, 0, 0, 'WITHSCORES')
  local name = oldest[1]
  if not name or (total <= most and now - tonumber(oldest[2]) < retention) then break end
  local event, which = string.match(name, '^([^:]*):?(.*)$')
  redis.call('ZREM', order, name)
  redis.call('DEL', P .. 'log:' .. name)
  redis.pcall('SREM', P .. 'log:' .. event, which)
  total = redis.call('HINCRBY', sizes, 'total', 0 - count_at(sizes, name)) -- Lua writes -0 for -(0)
  redis.call('HDEL', sizes, name)
  gone = gone + 1
end
return {'ok', tostring(total), tostring(gone)}
