-- Keep the outgoing streams and the tombstones within their bounds: A = results' retention in ms, dead letters'
-- retention in ms, batch, the cursor over the tombstones ('0' at first). Returns the cursor to go on with, and how
-- many results and dead letters went for want of bytes since the last call: told to one caller once; then why Redis
-- refuses XACK, or ''. Scripts acknowledge without a word, as the ledger knows what has ended (prelude.lua).
-- A stream that is broken is passed over, and so is one whose bound cannot be known.
local now, batch = now_ms(), tonumber(A[3])
redis.call('DEL', P .. 'nothing') -- what frees memory must begin with a delete (expire.lua)

local tried, unacknowledged = redis.pcall('XACK', STREAM, GROUP, '0-0'), '' -- an id that no entry has
if type(tried) == 'table' and not string.find(tried.err, 'WRONGTYPE', 1, true) then unacknowledged = tried.err end

-- What ended while XACK was refused is pending still, and no replica would read it before its next start.
if unacknowledged == '' then
  for _, entry in ipairs(intact('XPENDING', STREAM, GROUP, '-', '+', batch) or {}) do
    if intact('HGET', event_key(entry[1]), 'state') == 'done' then acknowledge(entry[1]) end
  end
end

for _, limit in ipairs({{RESULTS, A[1]}, {DEAD, A[2]}}) do
  local oldest = now - tonumber(limit[2])
  if limit[1] == RESULTS then
    local oldest_event = intact('ZRANGE', P .. 'results-from', 0, 0, 'WITHSCORES')
    if not oldest_event then oldest, oldest_event = 0, {} end
    local first = oldest_event[2]
    if oldest_event[1] and redis.call('EXISTS', event_key(oldest_event[1])) == 0 then
      redis.call('ZREM', P .. 'results-from', oldest_event[1]) -- an operator deleted its ledger
    end
    if first and tonumber(first) < oldest then oldest = tonumber(first) end
  end
  if oldest > 0 and not broken(limit[1], 'stream') and redis.call('EXISTS', limit[1]) == 1 then
    redis.call('XTRIM', limit[1], 'MINID', '=', string.format('%.0f', oldest))
  end
end

-- The count of bytes (prelude.lua) does not include entries that were there before it, and a failover may lose part
-- of it. So Redis itself is asked for the memory now and then, with some room for how it allocates.
local trimmed = {}
for i, name in ipairs({'results', 'dead'}) do
  local key = i == 1 and RESULTS or DEAD
  local counted = not broken(P .. 'appended', 'hash')
  local used, most = not broken(key, 'stream') and redis.pcall('MEMORY', 'USAGE', key, 'SAMPLES', 20000), MOST_BYTES[key]
  if type(used) == 'number' and used > most * 1.1 then
    local keep = math.floor(redis.call('XLEN', key) * most / used * 0.9)
    keep = math.max(keep, key == DEAD and LEAST_DEAD or 1)
    local gone = redis.call('XTRIM', key, 'MAXLEN', '=', string.format('%.0f', keep))
    if counted then redis.call('HINCRBY', P .. 'appended', name .. ':trimmed', gone) end
  end
  trimmed[i] = counted and count_at(P .. 'appended', name .. ':trimmed') or 0
  if counted then redis.call('HDEL', P .. 'appended', name .. ':trimmed') end
end

-- A tombstone is needed as long as an older scale_up may still be taken. Such a scale_up was not delivered yet, or it
-- is pending and has no ledger.
local taken = last_delivered()
if not taken or redis.call('EXISTS', P .. 'tombstones') == 0 or broken(P .. 'tombstones', 'hash') then
  return {'ok', '0', trimmed[1], trimmed[2], unacknowledged}
end
local from, PAGE, PAGES = '-', 100, 20
for page = 1, PAGES do
  local pending = redis.call('XPENDING', STREAM, GROUP, from, '+', PAGE)
  local untaken = nil
  for _, entry in ipairs(pending) do
    from = '(' .. entry[1]
    if redis.call('EXISTS', event_key(entry[1])) == 0 then untaken = entry[1] break end
  end
  if not untaken and #pending == PAGE and page == PAGES then untaken = pending[PAGE][1] end
  if untaken and compare_ids(untaken, taken) < 0 then taken = untaken end
  if untaken or #pending < PAGE then break end
end
local scanned = redis.call('HSCAN', P .. 'tombstones', A[4], 'COUNT', batch)
for i = 1, #scanned[2], 2 do
  if compare_ids(scanned[2][i + 1], taken) <= 0 then redis.call('HDEL', P .. 'tombstones', scanned[2][i]) end
end
return {'ok', scanned[1], trimmed[1], trimmed[2], unacknowledged}
