-- Renew the lease and survey the others: A = consumer, incarnation, info, survey ('1' or '0'), then for the status
-- page recent, sights and details ('' leaves what stands, '-' takes it away), and the owners whose Pods it watches.
if wiped() then return {'wiped'} end
local mine = P .. 'replica:' .. A[1]
local standing = redis.call('HGET', mine, 'incarnation')
-- 'forgotten' means that others took us for dead, or that Redis was emptied, and that no other replica has our name.
if not standing then return {'forgotten'} end
if standing ~= A[2] then return {'lost'} end
redis.call('HSET', mine, 'info', A[3], 'seen', now_ms(), 'watches', A[8])
for i, name in ipairs({'recent', 'sights', 'details'}) do
  local told = A[4 + i]
  if told == '-' then redis.call('HDEL', mine, name)
  elseif told ~= '' then redis.call('HSET', mine, name, told) end
end
if A[5] ~= '' then redis.call('HSET', mine, 'recent-at', now_ms()) end
local beat = redis.call('HINCRBY', mine, 'beat', 1)
local offers = redis.call('SRANDMEMBER', P .. 'offers', 64)
local held = (paused() and '1' or '0') .. redis.call('EXISTS', P .. 'viewed')
if A[4] ~= '1' then return {'ok', tostring(beat), offers, held} end
local replicas, owners, order = {}, {}, {}
for _, consumer in ipairs(redis.call('SMEMBERS', P .. 'replicas')) do
  local r = redis.call('HMGET', P .. 'replica:' .. consumer, 'incarnation', 'beat', 'lease')
  replicas[#replicas + 1] = {consumer, r[1] or '', r[2] or '', r[3] or '0'}
end
for _, id in ipairs(redis.call('SMEMBERS', P .. 'events')) do
  local owner = redis.call('HGET', event_key(id), 'owner')
  if owner and not owners[owner] then
    owners[owner] = true
    order[#order + 1] = owner
  end
end
local consumers = {}
local known = redis.pcall('XINFO', 'CONSUMERS', STREAM, GROUP)
if not known.err then
  for _, flat in ipairs(known) do
    local c = {}
    for i = 1, #flat, 2 do c[flat[i]] = flat[i + 1] end
    consumers[#consumers + 1] = {c.name, tostring(c.pending)}
  end
end
return {'ok', tostring(beat), offers, held, replicas, order, consumers}
