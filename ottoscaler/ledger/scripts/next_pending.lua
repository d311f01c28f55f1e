-- How many of our own pending entries may be read next: A = id to go on behind, count, whether they were left by a
-- dead reader ('1') or are ours by a lost reply, the sentence of a dead letter, time, owner.
-- An entry without a ledger may be what killed its reader, so it is read alone, and who reads it is noted: the number
-- of readers that died of it so far, and who has it now. Who would be the third is spared: it is dead-lettered unread.
-- Returns the number, the ids that were dead-lettered, and the id behind which to read: where no dead letter can be
-- written, the entry that is to have one stays pending and is passed over.
local consumer, incarnation = split_owner(A[6])
local MOST_DEATHS, now, known, given_up, behind = 2, now_ms(), 0, {}, A[1]
local dumb = untellable(DEAD)
for _, entry in ipairs(redis.call('XPENDING', STREAM, GROUP, '(' .. A[1], '+', A[2], consumer)) do
  local id = entry[1]
  if redis.call('EXISTS', event_key(id)) == 1 or is_over(id) then
    known = known + 1
  elseif known > 0 then
    break
  else
    local deaths, reader = string.match(intact('HGET', P .. 'handed', id) or '', '^(%d+):(.*)$')
    if not deaths then deaths = A[3] == '1' and 1 or 0
    elseif reader ~= incarnation then deaths = deaths + 1 end
    if tonumber(deaths) < MOST_DEATHS then
      redis.pcall('HSET', P .. 'handed', id, deaths .. ':' .. incarnation)
      return {'ok', '1', given_up, behind}
    end
    if dumb then
      behind = id
    else
      give_up_entry(id, A[4], A[5], now)
      given_up[#given_up + 1] = id
    end
  end
end
return {'ok', tostring(known), given_up, behind}
