-- Take the entries that a dead consumer has read and nobody owns: A = our consumer, the dead one, its
-- incarnation and beat as observed ('' where it never had any), count. Returns the ids that came over.
if wiped() then return {'wiped'} end
local r = redis.call('HMGET', P .. 'replica:' .. A[2], 'incarnation', 'beat')
if (r[1] or '') ~= A[3] or (r[2] or '') ~= A[4] then return {'alive'} end
local PAGE, PAGES = 100, 50 -- entries of living owners may stand before those that nobody owns
local ids, from = {}, '-'
for _ = 1, PAGES do
  local pending = redis.pcall('XPENDING', STREAM, GROUP, from, '+', PAGE, A[2])
  if pending.err then break end
  for _, entry in ipairs(pending) do
    local id = entry[1]
    from = '(' .. id
    local e = redis.call('HMGET', event_key(id), 'state', 'owner')
    if e[1] == 'done' then
      acknowledge(id)
    elseif (not e[1] or e[2] == '') and #ids < tonumber(A[5]) then
      redis.pcall('XCLAIM', STREAM, GROUP, A[1], '0', id, 'JUSTID')
      ids[#ids + 1] = id
    end
  end
  if #pending < PAGE or #ids >= tonumber(A[5]) then break end
end
return {'ok', ids}
