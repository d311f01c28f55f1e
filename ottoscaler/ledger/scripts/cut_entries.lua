-- Entries of a stream, none of them larger than a reader can hold: A = which ('results', 'dead' or 'events'), from,
-- to, direction ('up' or 'down'), how many, and of each entry the most bytes and the most fields.
-- Past those bytes only the first 200 of a name or a value stay. Returns each entry's id, fields, and 0 or, where
-- something was left out, the bytes of all its strings.
-- Each entry is copied, whatever is left out of it, so they are read one by one.
local SHORT = 200
local KEYS_OF = {results = RESULTS, dead = DEAD, events = STREAM}
local key, up = KEYS_OF[A[1]], A[4] == 'up'
if broken(key, 'stream') then return {'ok', {}} end
local found, from = {}, A[2]
while #found < tonumber(A[5]) do
  local entry = redis.call(up and 'XRANGE' or 'XREVRANGE', key, from, A[3], 'COUNT', 1)[1]
  if not entry then break end
  from = '(' .. entry[1]
  local kept, size, room, cut = {}, 0, tonumber(A[6]), #entry[2] > 2 * tonumber(A[7])
  for i, text in ipairs(entry[2]) do
    size = size + #text
    if i <= 2 * tonumber(A[7]) then
      if #text > room and #text > SHORT then
        text, cut = string.sub(text, 1, SHORT), true
      end
      room = math.max(0, room - #text)
      kept[i] = text
    end
  end
  found[#found + 1] = {entry[1], kept, cut and size or 0}
end
return {'ok', found}
