-- Create the group where it is missing, at the low-water mark, so that finished work stays finished.
-- A stream that was deleted and made anew may begin below the old mark: then the mark starts again.
local failure = broken(STREAM, 'stream') or broken(P .. 'low-water', 'string') or broken(P .. 'account', 'hash')
if failure then return failure end
local low = low_water()
local info = redis.pcall('XINFO', 'STREAM', STREAM)
local s = info.err and {} or fields_of(info)
local last, length, added = s['last-generated-id'], s.length or 0, s['entries-added'] or 0
if low ~= '0-0' and (not last or compare_ids(last, low) < 0) then
  low = '0-0'
  redis.call('SET', P .. 'low-water', low)
  redis.call('DEL', P .. 'expired', P .. 'marks', P .. 'account', P .. 'ahead')
end
local made = redis.pcall('XGROUP', 'CREATE', STREAM, GROUP, low == '0-0' and '0' or low, 'MKSTREAM')
if made.err then
  if string.find(made.err, 'BUSYGROUP', 1, true) then return {'exists'} end
  return made
end
-- What is read again may be lost again (lost.lua).
if redis.call('HEXISTS', P .. 'account', 'handed') == 1 then redis.call('HSET', P .. 'account', 'handed', low) end
if low == '0-0' and (info.err or added > 0) and redis.call('HEXISTS', P .. 'account', 'missing') == 0 then
  -- Entries that were removed before this group existed do not count as lost (lost.lua).
  local taken = count_at(P .. 'account', 'taken')
  redis.call('HSET', P .. 'account', 'missing', string.format('%.0f', added - length - taken),
    'added', string.format('%.0f', added), 'removed', string.format('%.0f', added - length), 'handed', '0-0')
end
return {'created', low}
