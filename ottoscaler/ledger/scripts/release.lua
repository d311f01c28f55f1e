-- Hand events over: A = owner, then pairs of id and epoch. Returns the ids that have no ledger.
local missing = {}
for i = 2, #A, 2 do
  local id, key = A[i], event_key(A[i])
  local may = ownership(key, A[1], A[i + 1])
  if may == 'missing' then missing[#missing + 1] = id end
  if may == 'ok' then
    note_before(key, A[1])
    redis.call('HSET', key, 'owner', '')
    redis.pcall('SADD', P .. 'offers', id) -- without it the event is found in the pending list (claim_pending.lua)
  end
end
return {'ok', missing}
