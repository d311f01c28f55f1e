-- Forget a dead replica that owns nothing, and its consumer if nothing is pending there:
-- A = consumer, incarnation and beat as observed ('' where it never had any).
local key = P .. 'replica:' .. A[1]
local r = intact('HMGET', key, 'incarnation', 'beat') or {}
if broken(P .. 'events', 'set') then return {'owner'} end
if (r[1] or '') ~= A[2] or (r[2] or '') ~= A[3] then return {'alive'} end
for _, id in ipairs(redis.call('SMEMBERS', P .. 'events')) do
  local owner = intact('HGET', event_key(id), 'owner')
  if owner and owner ~= '' and split_owner(owner) == A[1] then return {'owner'} end
end
local pending = redis.pcall('XPENDING', STREAM, GROUP, '-', '+', '1', A[1])
if not pending.err and #pending > 0 then return {'pending'} end
redis.call('DEL', key)
redis.pcall('SREM', P .. 'replicas', A[1])
redis.pcall('XGROUP', 'DELCONSUMER', STREAM, GROUP, A[1])
return {'ok'}
