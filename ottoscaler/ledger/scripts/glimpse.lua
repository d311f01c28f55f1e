-- What the status page shows of open events, each as JSON: A = how many workers may be told one by one, then ids.
-- 'cells' has a letter for each index: '.' not begun, 'c' begun without a Pod, 'p' with one, 'x' to be cancelled,
-- 'w' waits for its next attempt, 'o' succeeded, 'f' failed, 'k' cancelled. Writes nothing.
local LETTERS = {succeeded = 'o', failed = 'f', cancelled = 'k'}
local left, told = tonumber(A[1]), {}
for i = 2, #A do
  local flat = intact('HGETALL', event_key(A[i])) or {}
  local e, cells, intended, again = {}, {}, {}, 0
  for j = 1, #flat, 2 do
    local name, value = flat[j], flat[j + 1]
    local kind, index = string.match(name, '^([ic]):(%d+)$')
    if kind == 'c' then intended[tonumber(index)] = true
    elseif kind == 'i' then
      local stage, attempt, rest = string.match(value, '^(%a):(%d+):(.*)$')
      if attempt ~= '0' then again = again + 1 end
      local letter = stage
      if stage == 's' then letter = rest == '' and 'c' or 'p'
      elseif stage == 'd' then letter = LETTERS[string.match(rest, '^%a+')] or 'k' end
      cells[tonumber(index)] = letter
    elseif name ~= 'body' then e[name] = value end
  end
  if e.state == 'open' then
    local n, row = tonumber(e.n) or 0, {}
    if e.type == 'scale_up' and n <= left then
      for index = 0, n - 1 do
        local letter = cells[index] or '.'
        if intended[index] and (letter == 'c' or letter == 'p') then letter = 'x' end
        row[index + 1] = letter
      end
      left = left - n
    end
    told[#told + 1] = cjson.encode({id = A[i], type = e.type, task = e.task, n = e.n, owner = e.owner,
      taken = e.taken, strikes = e.strikes, ok = e.ok, bad = e.bad, cut = e.cut, done = e.done, again = again,
      victims = e.victims, doomed = e.doomed, cells = table.concat(row)})
  end
end
return {'ok', told}
