-- How many workers of these open scale_ups have not ended: A = ids. Writes nothing.
local left = 0
for i = 1, #A do
  local e = intact('HMGET', event_key(A[i]), 'state', 'type', 'n', 'done') or {}
  if e[1] == 'open' and e[2] == 'scale_up' then left = left + tonumber(e[3]) - tonumber(e[4]) end
end
return {'ok', left}
