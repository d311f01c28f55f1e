-- Look through part of a stream: A = which ('results', 'dead' or 'events'), from, to, direction ('up' or 'down'),
-- how many entries, then triples of a field's name, 'is' or 'has', and a value ('has' looks for it in lower case
-- anywhere in the beginning of the field). Returns the last id looked at, '1' where more may be behind it, and the
-- entries that match all, without 'field:...': of each the first fields, and of long ones the beginning.
-- A producer may write entries of any size, and each entry looked at is copied. So a call ends after some bytes, and
-- after a large entry it reads the next ones one by one.
local MOST_FIELDS, LONGEST, MOST_BYTES_A_LOOK, SMALL, MOST_STEP = 40, 8192, 4194304, 32768, 8
local KEYS_OF = {results = RESULTS, dead = DEAD, events = STREAM}
local key, command = KEYS_OF[A[1]], A[4] == 'up' and 'XRANGE' or 'XREVRANGE'
if broken(key, 'stream') then return {'ok', '', '0', {}} end

local wanted = {}
for i = 6, #A, 3 do wanted[A[i]] = true end

local function matches(told)
  for i = 6, #A, 3 do
    local value = told[A[i]] or ''
    if A[i + 1] == 'is' and value ~= A[i + 2] then return false end
    if A[i + 1] == 'has' and not string.find(string.lower(string.sub(value, 1, LONGEST)), A[i + 2], 1, true) then
      return false
    end
  end
  return true
end

local function beginning(flat)
  local kept = {}
  for i = 1, #flat, 2 do
    if #kept == 2 * MOST_FIELDS then break end
    if string.sub(flat[i], 1, 6) ~= 'field:' and flat[i] ~= 'fields' then
      kept[#kept + 1] = string.sub(flat[i], 1, LONGEST)
      kept[#kept + 1] = string.sub(flat[i + 1], 1, LONGEST)
    end
  end
  return kept
end

local found, from, last, looked, bytes, step, more = {}, A[2], '', 0, 0, 1, true
while more and bytes < MOST_BYTES_A_LOOK and looked < tonumber(A[5]) do
  local page, before = redis.call(command, key, from, A[3], 'COUNT', step), bytes
  more = #page == step
  for _, entry in ipairs(page) do
    local flat, told = entry[2], {}
    last, looked = entry[1], looked + 1
    for i = 1, #flat, 2 do
      bytes = bytes + #flat[i] + #flat[i + 1]
      if wanted[flat[i]] and not told[flat[i]] then told[flat[i]] = flat[i + 1] end
    end
    if matches(told) then found[#found + 1] = {entry[1], beginning(flat)} end
  end
  from = '(' .. last
  step = bytes - before < SMALL and math.min(2 * step, MOST_STEP) or 1
end
return {'ok', last, more and '1' or '0', found}
