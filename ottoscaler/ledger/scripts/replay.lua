-- Put a dead letter's event back on the stream and remove the dead letter: A = the dead letter's id.
-- INSTALLATION is '' where no replica has registered; the stream needs none.
local failure = broken(STREAM, 'stream') or broken(DEAD, 'stream')
if failure then return failure end
local found = redis.call('XRANGE', DEAD, A[1], A[1])[1]
if not found then return {'gone'} end
local flat, event_id, fields, cut = found[2], '', {}, false
for i = 1, #flat, 2 do
  local name, value = flat[i], flat[i + 1]
  if string.sub(name, 1, 6) == 'field:' then
    fields[#fields + 1] = string.sub(name, 7)
    fields[#fields + 1] = value
  elseif name == 'event_id' then event_id = value
  elseif name == 'error' then cut = string.find(value, 'Only its first fields.* were read$') -- bounded_replies.py
  elseif name == 'fields' then -- more of them than a script can take one by one (ledger.py)
    local ok, pairs_of = pcall(cjson.decode, value)
    if not ok then return {'unreadable', event_id} end
    for _, pair in ipairs(pairs_of) do
      fields[#fields + 1] = pair[1]
      fields[#fields + 1] = pair[2]
    end
  end
end
if cut then return {'cut', event_id} end
if #fields == 0 then return {'empty', event_id} end
if #fields > 7000 then return {'large', event_id} end -- unpack's limit is some 8,000
local fresh = redis.call('XADD', STREAM, '*', unpack(fields))
redis.call('XDEL', DEAD, A[1])
return {'ok', event_id, fresh}
