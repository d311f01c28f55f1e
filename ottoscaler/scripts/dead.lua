-- Dead-letter an entry: A = id, owner, error, time, then its fields, prefixed.
local failure = check_streams()
if failure then return failure end
if wiped() then return {'wiped'} end
local id, now = A[1], now_ms()
local key = event_key(id)
local e = redis.call('HMGET', key, 'state', 'owner')
if e[1] == 'done' then acknowledge(id) return {'done'} end
if e[1] == 'open' and e[2] ~= A[2] and e[2] ~= '' then return {'owned', e[2]} end
if not e[1] and compare_ids(id, low_water()) <= 0 then acknowledge(id) return {'done'} end
local entry = {'event_id', id, 'error', A[3], 'at', A[4]}
for i = 5, #A do entry[#entry + 1] = A[i] end
redis.call('XADD', DEAD, '*', unpack(entry))
redis.call('DEL', key)
redis.call('HSET', key, 'state', 'done', 'status', 'dead', 'ended', now)
redis.call('ZADD', P .. 'finished', now, id)
redis.call('SREM', P .. 'events', id)
redis.call('SREM', P .. 'offers', id)
acknowledge(id)
return {'ok'}
