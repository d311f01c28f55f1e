-- What stands of some workers, for the reconciler: A = triples of event id, index, attempt (attempt unused).
-- For each: 'missing', 'finished', or owner, the index's state and the intent.
if wiped() then return {'wiped'} end
local found, low = {}, low_water()
for i = 1, #A, 2 do
  local e = redis.call('HMGET', event_key(A[i]), 'state', 'owner', 'i:' .. A[i + 1], 'c:' .. A[i + 1])
  if not e[1] then
    found[#found + 1] = {compare_ids(A[i], low) <= 0 and 'finished' or 'missing', '', '', ''}
  elseif e[1] == 'done' then
    found[#found + 1] = {'finished', '', e[3] or '', ''}
  else
    found[#found + 1] = {'open', e[2], e[3] or '', e[4] or ''}
  end
end
return {'ok', found}
