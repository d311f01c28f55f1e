-- Note an attempt's first Pod: A = id, owner, epoch, index, attempt, uid.
local key, refused = own_event()
if refused then return refused end
local index, attempt, uid = A[4], A[5], A[6]
local state = index_state(key, index)
if not state or state.kind ~= 's' or state.attempt ~= attempt then return {'stale'} end
if state.rest ~= '' and state.rest ~= uid then return {'duplicate', state.rest} end
if state.rest == '' then
  redis.call('HSET', key, 'i:' .. index, 's:' .. attempt .. ':' .. uid, 'progress', '1')
end
local ends = intended(key, index, attempt)
if ends then return ends end
return {'ok'}
