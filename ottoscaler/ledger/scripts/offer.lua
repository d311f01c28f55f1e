-- Offer an event of which no worker has begun: A = id, owner, epoch.
if wiped() then return {'wiped'} end
local key = event_key(A[1])
local may = ownership(key, A[2], A[3])
if may ~= 'ok' then return {may} end
if redis.call('HGET', key, 'begun') ~= '0' then return {'stale'} end
redis.call('SADD', P .. 'offers', A[1])
return {'ok'}
