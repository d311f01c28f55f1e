-- Find scale_downs that have not been read yet: A = id to go on behind, count, the bytes of the largest entry that is
-- handed out, and how many ms ago an entry must have been added; the look ends before the first younger one.
-- Returns the last id looked at ('' if there was none) and the scale_downs found.
local from, delivered = A[1], last_delivered()
if not delivered then return {'ok', '', {}} end -- what the group is to read is looked at when it has been made
if compare_ids(delivered, from) > 0 then from = delivered end
-- In small steps and up to a number of bytes, as each entry is copied; one by one behind a large one. One that is
-- too large to be handed out is found out when it is read.
local SMALL, MOST_STEP, step = 65536, 20, 1
local most, left, looked = tonumber(A[3]), 4 * tonumber(A[3]), 0
local found, last, latest = {}, '', now_ms() - tonumber(A[4])
while left > 0 and looked < tonumber(A[2]) do
  local count, before = math.min(step, tonumber(A[2]) - looked), left
  local entries = redis.call('XRANGE', STREAM, '(' .. from, '+', 'COUNT', count)
  for _, entry in ipairs(entries) do
    if A[4] ~= '0' and tonumber((split_id(entry[1]))) > latest then return {'ok', last, found} end
    from, last, looked = entry[1], entry[1], looked + 1
    local size, down = 0, false
    for i = 1, #entry[2], 2 do
      size = size + #entry[2][i] + #entry[2][i + 1]
      if entry[2][i] == 'type' and entry[2][i + 1] == 'scale_down' then down = true end
    end
    left = left - size
    if down and size <= most and redis.call('EXISTS', event_key(last)) == 0 then found[#found + 1] = entry end
  end
  if #entries < count then break end
  step = before - left < SMALL and math.min(2 * step, MOST_STEP) or 1
end
return {'ok', last, found}
