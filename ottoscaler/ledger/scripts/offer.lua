-- Offer an event of which no worker has begun: A = id, owner, epoch.
local key, refused = own_event()
if refused then return refused end
if redis.call('HGET', key, 'begun') ~= '0' then return {'stale'} end
if not intact('SADD', P .. 'offers', A[1]) then return {'stale'} end
return {'ok'}
