-- Take the entries that a dead consumer has read and nobody owns: A = our consumer, the dead one, its
-- incarnation and beat as observed ('' where it never had any), count, the sentence of a dead letter, time.
-- Returns the ids that came over, and those that were dead-lettered: they had been removed from the stream.
local r = intact('HMGET', P .. 'replica:' .. A[2], 'incarnation', 'beat') or {}
if (r[1] or '') ~= A[3] or (r[2] or '') ~= A[4] then return {'alive'} end
local PAGE, PAGES = 100, 50 -- entries of living owners may stand before those that nobody owns
local ids, gone, now, from, dumb = {}, {}, now_ms(), '-', untellable(DEAD)
for _ = 1, PAGES do
  local pending = redis.pcall('XPENDING', STREAM, GROUP, from, '+', PAGE, A[2])
  if pending.err then break end
  for _, entry in ipairs(pending) do
    local id = entry[1]
    from = '(' .. id
    local e = intact('HMGET', event_key(id), 'state', 'owner')
    if not e then
      e = nil -- nobody knows what became of it: it waits until its key is mended
    elseif e[1] == 'done' then
      acknowledge(id)
    elseif e[1] and e[2] ~= '' then
      redis.pcall('SADD', P .. 'events', id) -- where somebody removed the set, its owner's death is seen again
    elseif not e[1] and dumb and #redis.call('XRANGE', STREAM, id, id) == 0 then
      e = nil -- a claim might drop it, and no dead letter could tell of it
    elseif (not e[1] or e[2] == '') and #ids < tonumber(A[5]) then
      -- Redis 7.0 and later drop an entry here that was removed from the stream, and then nothing tells of it any
      -- more. Older versions move such an entry, and its reader finds that it is missing.
      local claimed = redis.pcall('XCLAIM', STREAM, GROUP, A[1], '0', id, 'JUSTID')
      if claimed.err or #claimed > 0 then
        ids[#ids + 1] = id
      elseif not e[1] and compare_ids(id, low_water()) > 0 then
        give_up_entry(id, A[6], A[7], now)
        gone[#gone + 1] = id
      end
    end
  end
  if #pending < PAGE or #ids >= tonumber(A[5]) then break end
end
return {'ok', ids, gone}
