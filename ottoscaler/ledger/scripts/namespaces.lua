-- Remember that this replica's Pods are in NAMESPACE, and tell of the others in which Pods of ours may still be:
-- A = seconds, then namespaces in which none is any more. These are forgotten, unless a replica has noted them within
-- those seconds. Returns pairs of a namespace and the seconds since it was noted.
if wiped() then return {'wiped'} end
local key, now = P .. 'namespaces', now_ms()
redis.call('HSET', key, NAMESPACE, now)
local empty, told = {}, {}
for i = 2, #A do empty[A[i]] = true end
local noted = redis.call('HGETALL', key)
for i = 1, #noted, 2 do
  local name, age = noted[i], math.floor((now - tonumber(noted[i + 1])) / 1000)
  if name ~= NAMESPACE then
    if empty[name] and age > tonumber(A[1]) then redis.call('HDEL', key, name)
    else told[#told + 1] = name told[#told + 1] = tostring(age) end
  end
end
return {'ok', told}
