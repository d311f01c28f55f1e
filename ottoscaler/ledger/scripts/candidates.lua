-- The open scale_ups that a scale_down may take from: A = scale_down's id, task ('' with A[3] = '0': any).
-- Returns id and states for each, so that the caller can order them by what it sees of their Pods.
if wiped() then return {'wiped'} end
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', P .. 'events')) do
  if compare_ids(id, A[1]) < 0 then
    local e = redis.call('HMGET', event_key(id), 'state', 'type', 'task', 'n')
    if e[1] == 'open' and e[2] == 'scale_up' and (A[3] == '0' or e[3] == A[2]) then
      local slim, flat = {}, redis.call('HGETALL', event_key(id))
      for i = 1, #flat, 2 do -- bodies and metadata may be megabytes, and are of no use here
        if flat[i] == 'n' or string.match(flat[i], '^[ic]:') then
          slim[#slim + 1] = flat[i]
          slim[#slim + 1] = flat[i + 1]
        end
      end
      found[#found + 1] = {id, slim}
    end
  end
end
return {'ok', found}
