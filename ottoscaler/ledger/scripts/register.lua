-- Enter a replica under its consumer name: A = consumer, incarnation, info, the old incarnation that is known
-- to have ended ('' for none), its beat ('' where the proof was another than silence), our lease in seconds, and our
-- instance. A worker's Pod is found by its instance, so all replicas share one until no event is in flight.
local function lives(consumer)
  local r = intact('HMGET', P .. 'replica:' .. consumer, 'seen', 'lease') or {}
  return now_ms() - (whole(r[1]) or 0) < tonumber(told_lease(r[2])) * 1000
end

local function in_use()
  if (intact('SCARD', P .. 'events') or 1) > 0 then return true end
  for _, consumer in ipairs(intact('SMEMBERS', P .. 'replicas') or {}) do
    if consumer ~= A[1] and lives(consumer) then return true end
  end
  return false
end

local instance = intact('GET', P .. 'instance')
if instance and instance ~= A[7] and in_use() then return {'instance', instance} end
local key = P .. 'replica:' .. A[1]
local overwritten = broken(key, 'hash')
local r = overwritten and {} or redis.call('HMGET', key, 'incarnation', 'beat', 'info', 'seen')
if r[1] and r[1] ~= A[2] then
  if r[1] ~= A[4] then return {'occupied', r[1], r[2], r[3]} end
  if A[5] ~= '' and r[2] ~= A[5] then return {'occupied', r[1], r[2], r[3]} end
end
redis.call('DEL', P .. 'nothing') -- a full Redis lets it in (expire.lua), as only a replica makes room there
if overwritten then redis.call('DEL', key) end -- a heartbeat tells nothing that its replica does not know
redis.pcall('SADD', P .. 'replicas', A[1])
redis.pcall('SET', P .. 'instance', A[7])
redis.pcall('HSET', P .. 'namespaces', NAMESPACE, now_ms()) -- before it creates anything there
redis.call('HSET', key, 'incarnation', A[2], 'info', A[3], 'lease', A[6], 'seen', now_ms())
-- When the one before was last alive tells its successors what it may have died of (takeover.lua).
if r[1] and r[1] ~= A[2] then redis.call('HSET', key, 'before', r[1], 'before-seen', r[4] or '0') end
return {'ok', tostring(next_beat(key)), paused() and '1' or '0'}
