-- Take the entries that a dead consumer has read and nobody owns: A = our consumer, the dead one, its
-- incarnation and beat as observed ('' where it never had any), count. Returns the ids that came over.
if wiped() then return {'wiped'} end
local r = redis.call('HMGET', P .. 'replica:' .. A[2], 'incarnation', 'beat')
if (r[1] or '') ~= A[3] or (r[2] or '') ~= A[4] then return {'alive'} end
local pending = redis.pcall('XPENDING', STREAM, GROUP, '-', '+', A[5], A[2])
if pending.err then return {'ok', {}} end
local ids = {}
for _, entry in ipairs(pending) do
  local id = entry[1]
  local e = redis.call('HMGET', event_key(id), 'state', 'owner')
  if e[1] == 'done' then
    acknowledge(id)
  elseif not e[1] or e[2] == '' then
    redis.pcall('XCLAIM', STREAM, GROUP, A[1], '0', id, 'JUSTID')
    ids[#ids + 1] = id
  end
end
return {'ok', ids}
