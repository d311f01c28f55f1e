-- The open scale_ups that a scale_down may take from: A = scale_down's id, task ('' with A[3] = '0': any).
-- Returns the id and the number of workers of each.
local failure = broken(P .. 'events', 'set')
if failure then return failure end
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', P .. 'events')) do
  if compare_ids(id, A[1]) < 0 then
    local e = intact('HMGET', event_key(id), 'state', 'type', 'task', 'n') or {}
    local ours = e[1] == 'open' and e[2] == 'scale_up' and string.match(e[4] or '', '^%d%d?%d?%d?%d?%d?$')
    if ours and (A[3] == '0' or e[3] == A[2]) then found[#found + 1] = {id, e[4]} end
  end
end
return {'ok', found}
