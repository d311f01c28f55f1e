-- Note a Pod that no list by our labels shows, before its end is recorded: A = name, uid. Past MOST_UNSEEN
-- nothing more is noted: then one of them stays where its owner dies between its result and its delete.
local MOST_UNSEEN = 10000
local key = P .. 'unseen'
if broken(key, 'hash') then return {'full'} end
if redis.call('HLEN', key) >= MOST_UNSEEN and redis.call('HEXISTS', key, A[1]) == 0 then return {'full'} end
redis.call('HSET', key, A[1], A[2])
return {'ok'}
