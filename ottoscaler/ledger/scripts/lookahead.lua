-- Find scale_downs that have not been read yet: A = id to go on behind, count.
-- Returns the last id looked at ('' at the end of the stream) and the scale_downs found.
if wiped() then return {'wiped'} end
local from = A[1]
local groups = redis.pcall('XINFO', 'GROUPS', STREAM)
if groups.err then return {'ok', '', {}} end
for _, flat in ipairs(groups) do
  local g = {}
  for i = 1, #flat, 2 do g[flat[i]] = flat[i + 1] end
  if g.name == GROUP and compare_ids(g['last-delivered-id'], from) > 0 then from = g['last-delivered-id'] end
end
local entries = redis.call('XRANGE', STREAM, '(' .. from, '+', 'COUNT', A[2])
local found, last = {}, ''
for _, entry in ipairs(entries) do
  last = entry[1]
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'type' and entry[2][i + 1] == 'scale_down' then
      if redis.call('EXISTS', event_key(last)) == 0 then found[#found + 1] = entry end
      break
    end
  end
end
return {'ok', last, found}
