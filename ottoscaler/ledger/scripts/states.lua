-- What stands of some workers, for the reconciler: A = pairs of event id and index.
-- For each: 'open' or 'finished' by its ledger; 'below' where it has expired; or 'missing'. Then
-- owner, the index's state and the intent.
local found = {}
for i = 1, #A, 2 do
  local e = intact('HMGET', event_key(A[i]), 'state', 'owner', 'i:' .. A[i + 1], 'c:' .. A[i + 1], 'status')
  if not e then
    found[#found + 1] = {'open', '', '', ''} -- it is overwritten, and nobody may judge its Pods
  elseif not e[1] then
    found[#found + 1] = {is_over(A[i]) and 'below' or 'missing', '', '', ''}
  elseif e[1] == 'done' and not e[5] then
    -- Only some workers' results were recorded after Redis was emptied. The others are still to come.
    found[#found + 1] = {e[3] and 'finished' or 'missing', '', e[3] or '', ''}
  elseif e[1] == 'done' then
    found[#found + 1] = {'finished', '', e[3] or '', ''}
  else
    found[#found + 1] = {'open', e[2], e[3] or '', e[4] or ''}
  end
end
return {'ok', found}
