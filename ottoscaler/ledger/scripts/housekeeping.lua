-- Raise the low-water mark, then let go of what is below it and out of its time:
-- A = retention in ms, dead letters' retention in ms, batch.
local failure = check_streams()
if failure then return failure end
if wiped() then return {'wiped'} end
local now, batch = now_ms(), tonumber(A[3])
-- A Redis that is full refuses a script's first write unless it frees, and lets one that has written go on.
-- This script is what frees it, so it begins with a delete.
redis.call('DEL', P .. 'nothing')

-- The id right before another one; nil where the arithmetic would not fit a Lua number.
local function before(id)
  local ms, seq = split_id(id)
  if seq ~= '0' then
    if #seq > 15 then return nil end
    return ms .. '-' .. string.format('%.0f', tonumber(seq) - 1)
  end
  if ms == '0' or #ms > 15 then return nil end
  return string.format('%.0f', tonumber(ms) - 1) .. '-18446744073709551615'
end

-- What a group may still need: everything above the returned id.
local function finished_up_to(name, last_delivered)
  local pending = redis.call('XPENDING', STREAM, name)
  if pending[1] > 0 then
    local below = before(pending[2])
    if not below then return '0-0' end
    if compare_ids(below, last_delivered) < 0 then return below end
  end
  return last_delivered
end

local low, keep = low_water(), nil
local groups = redis.pcall('XINFO', 'GROUPS', STREAM)
if not groups.err then
  for _, flat in ipairs(groups) do
    local g = {}
    for i = 1, #flat, 2 do g[flat[i]] = flat[i + 1] end
    local bound = finished_up_to(g.name, g['last-delivered-id'])
    if not keep or compare_ids(bound, keep) < 0 then keep = bound end
    if g.name == GROUP then
      for _, id in ipairs(redis.call('SMEMBERS', P .. 'events')) do
        local below = before(id) or '0-0'
        if compare_ids(below, bound) < 0 then bound = below end
      end
      if compare_ids(bound, low) > 0 then
        low = bound
        redis.call('SET', P .. 'low-water', low)
      end
    end
  end
end

local expired = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'finished', '-inf', now - tonumber(A[1]), 'LIMIT', 0, batch)) do
  redis.call('ZREM', P .. 'results-from', id)
  if compare_ids(id, low) <= 0 then
    redis.call('DEL', event_key(id))
    redis.call('ZREM', P .. 'finished', id)
    expired = expired + 1
  end
end

-- The stream's head goes as far as every group has finished with it and its ledgers have expired.
local trimmed = 0
if keep then
  if compare_ids(low, keep) < 0 then keep = low end
  local cut = nil
  for _, entry in ipairs(redis.call('XRANGE', STREAM, '-', keep, 'COUNT', batch)) do
    if redis.call('EXISTS', event_key(entry[1])) == 1 then break end
    cut = entry[1]
    trimmed = trimmed + 1
  end
  if cut then
    local ms, seq = split_id(cut)
    if #seq <= 15 then
      redis.call('XTRIM', STREAM, 'MINID', '=', ms .. '-' .. string.format('%.0f', tonumber(seq) + 1))
    end
  end
end

for _, limit in ipairs({{RESULTS, A[1]}, {DEAD, A[2]}}) do
  local oldest = now - tonumber(limit[2])
  if limit[1] == RESULTS then
    local oldest_event = redis.call('ZRANGE', P .. 'results-from', 0, 0, 'WITHSCORES')
    local first = oldest_event[2]
    if oldest_event[1] and redis.call('EXISTS', event_key(oldest_event[1])) == 0 then
      redis.call('ZREM', P .. 'results-from', oldest_event[1]) -- an operator deleted its ledger
    end
    if first and tonumber(first) < oldest then oldest = tonumber(first) end
  end
  if oldest > 0 and redis.call('EXISTS', limit[1]) == 1 then
    redis.call('XTRIM', limit[1], 'MINID', '=', string.format('%.0f', oldest))
  end
end
local tombstones = redis.call('HGETALL', P .. 'tombstones')
for i = 1, #tombstones, 2 do
  if compare_ids(tombstones[i + 1], low) <= 0 then redis.call('HDEL', P .. 'tombstones', tombstones[i]) end
end
return {'ok', low, tostring(expired), tostring(trimmed)}
