-- Remember that this replica's Pods are in NAMESPACE, claim the search for Pods that nobody watches, and tell of the other
-- namespaces in which Pods of ours may still be: A = owner, what it can judge, ms for which its claim stands, seconds, then
-- namespaces in which no Pod is any more. These are forgotten, unless a replica has noted them within those seconds.
-- Returns the namespaces and, where the claim is this replica's, each replica with its lease, its incarnation and the
-- owners whose Pods it watches. Claims are for each of what can be judged: after Redis was emptied, only those who were
-- there know the Pods of before.
local key, claim, now = P .. 'namespaces', P .. 'search:' .. A[2], now_ms()
local failure = broken(key, 'hash')
if failure then return failure end
local holder = intact('GET', claim)
if holder and holder ~= A[1] then
  local consumer, incarnation = split_owner(holder)
  -- Who came back under the same name does not wait for what it claimed before.
  if intact('HGET', P .. 'replica:' .. consumer, 'incarnation') ~= incarnation then holder = false end
end
redis.call('HSET', key, NAMESPACE, now)
local mine = not holder or holder == A[1]
if mine then redis.call('SET', claim, A[1], 'PX', A[3]) end
local empty, told = {}, {}
for i = 5, #A do empty[A[i]] = true end
local noted = redis.call('HGETALL', key)
for i = 1, #noted, 2 do
  local name, since = noted[i], whole(noted[i + 1])
  if not since then redis.call('HSET', key, name, now) end -- nonsense: forget it once it was looked at
  if since and empty[name] and now - since > A[4] * 1000 then redis.call('HDEL', key, name)
  elseif name ~= NAMESPACE then told[#told + 1] = name end
end
local replicas = {}
for _, consumer in ipairs(mine and intact('SMEMBERS', P .. 'replicas') or {}) do
  local r = intact('HMGET', P .. 'replica:' .. consumer, 'incarnation', 'watches', 'lease') or {}
  replicas[#replicas + 1] = {consumer, told_lease(r[3]), (r[1] or '') .. ' ' .. (r[2] or '')}
end
return {'ok', told, replicas}
