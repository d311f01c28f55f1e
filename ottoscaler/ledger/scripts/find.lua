-- Look through part of a stream: A = which ('results', 'dead' or 'events'), from, to, direction ('up' or 'down'),
-- how many entries, then triples of a field's name, 'is' or 'has', and a value ('has' looks for it in lower case
-- anywhere). Returns the last entry's id, how many were looked at, and those that match all, without 'field:...'.
local KEYS_OF = {results = RESULTS, dead = DEAD, events = STREAM}
local key, up = KEYS_OF[A[1]], A[4] == 'up'
if not is_stream_or_none(key) then return {'ok', '', 0, {}} end
local page = redis.call(up and 'XRANGE' or 'XREVRANGE', key, A[2], A[3], 'COUNT', A[5])
local found = {}
for _, entry in ipairs(page) do
  local flat, e, matches = entry[2], {}, true
  for i = 1, #flat, 2 do e[flat[i]] = e[flat[i]] or flat[i + 1] end
  for i = 6, #A, 3 do
    local value = e[A[i]] or ''
    if A[i + 1] == 'is' then matches = matches and value == A[i + 2]
    else matches = matches and string.find(string.lower(value), A[i + 2], 1, true) ~= nil end
  end
  if matches then
    local kept = {}
    for i = 1, #flat, 2 do
      if string.sub(flat[i], 1, 6) ~= 'field:' and flat[i] ~= 'fields' then
        kept[#kept + 1] = flat[i]
        kept[#kept + 1] = flat[i + 1]
      end
    end
    found[#found + 1] = {entry[1], kept}
  end
end
return {'ok', #page > 0 and page[#page][1] or '', #page, found}
