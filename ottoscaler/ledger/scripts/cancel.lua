-- Choose victims of a scale_down: A = its id, owner, epoch, limit ('' for all), time, whether to leave out what has
-- begun ('1'), then pairs of event id and index in the order of choice. The choice is durable, so a repetition chooses
-- no further victims. Returns how many are chosen in all, and what ended right here (prelude.lua).
local key, refused = own_event()
if refused then return refused end
local down, now, untold = A[1], now_ms(), untellable(RESULTS) ~= nil
local chosen = count_at(key, 'chosen')
local ended = 0
local limit = A[4] ~= '' and tonumber(A[4]) or math.huge
local before = chosen
for i = 7, #A, 2 do
  if chosen >= limit then break end
  local id, index = A[i], A[i + 1]
  local victim = event_key(id)
  local e = intact('HMGET', victim, 'state', 'type') or {}
  local state = A[6] == '1' and index_state(victim, index)
  if e[1] == 'open' and e[2] == 'scale_up' and not (state and state.kind == 's') then
    local cancelled = cancel_index(id, victim, index, down, 'cancelled by ' .. down, A[5], now, untold)
    if cancelled then
      chosen = chosen + 1
      if cancelled[3] == false then
        redis.call('HSET', key, 'v:' .. id .. ':' .. index, cancelled[1] .. ':' .. cancelled[2])
        redis.call('HINCRBY', key, 'victims', 1)
      else
        ended = ended + 1
      end
    end
  end
end
if chosen > before then redis.call('HSET', key, 'chosen', chosen, 'progress', '1') end
if ended > 0 then redis.call('HINCRBY', key, 'cut', ended) end
return {'ok', tostring(chosen), unbegun}
