-- How far some workers are: A = triples of event id, first index, and how many. Returns for each the event's number
-- of workers and namespace, then the states, intents and other namespaces of those that have one. No body is copied: it may be large.
local found = {}
for i = 1, #A, 3 do
  local key, names, flat = event_key(A[i]), {'n', 'ns'}, {}
  for index = tonumber(A[i + 1]), tonumber(A[i + 1]) + tonumber(A[i + 2]) - 1 do
    names[#names + 1] = string.format('i:%.0f', index)
    names[#names + 1] = string.format('c:%.0f', index)
    names[#names + 1] = string.format('ns:%.0f', index)
  end
  local values = intact('HMGET', key, unpack(names)) or {}
  for at, value in ipairs(values) do
    if value then
      flat[#flat + 1] = names[at]
      flat[#flat + 1] = value
    end
  end
  found[#found + 1] = {A[i], flat}
end
return {'ok', found}
