-- Dead-letter an entry: A = id, owner, error, time, then its fields, prefixed.
local failure = check_streams()
if failure then return failure end
if wiped() then return {'wiped'} end
local id, now = A[1], now_ms()
local key = event_key(id)
local e = redis.call('HMGET', key, 'state', 'owner', 'begun')
if e[1] == 'done' then acknowledge(id) return {'done'} end
-- An entry alone is no ground to end an event that is open: whoever owns it, or takes it from offer, decides.
if e[1] == 'open' and (e[2] ~= '' or e[3] ~= '0') then return {'owned', e[2]} end
if not e[1] and compare_ids(id, low_water()) <= 0 then acknowledge(id) return {'done'} end
local entry = {'event_id', id, 'error', A[3], 'at', A[4]}
for i = 5, #A do entry[#entry + 1] = A[i] end
redis.call('XADD', DEAD, '*', unpack(entry))
close_ledger(id, key, '', '', 'dead', now)
return {'ok'}
