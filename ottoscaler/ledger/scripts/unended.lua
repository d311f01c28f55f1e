-- How many workers of these open scale_ups have not ended: A = ids. Writes nothing.
local left = 0
for i = 1, #A do
  local e = intact('HMGET', event_key(A[i]), 'state', 'type', 'n', 'done') or {}
  local n, done = whole(e[3]), whole(e[4] or '0')
  if e[1] == 'open' and e[2] == 'scale_up' and n and done then left = left + n - done end
end
return {'ok', left}
