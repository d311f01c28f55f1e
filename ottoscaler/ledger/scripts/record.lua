-- Record an index's result: A = id, owner, epoch, index, attempt, uid, own ('1': also against an intent to
-- cancel it, or to end it for its time limit), then pod, node, status, reason, exit_code, message, created_at, started_at, finished_at.
local failure = untellable(RESULTS)
if failure then return failure end
local key, refused = own_event()
if refused then return refused end
local id, index, attempt, uid = A[1], A[4], A[5], A[6]
local state, intent = index_state(key, index), redis.call('HGET', key, 'c:' .. index)
if state and state.kind == 'd' then return {'recorded'} end
-- One that never began is recorded only where an intent to cancel it stands (cancel_index).
local begun = state and state.kind == 's'
if not begun and not (intent and A[7] == '1' and uid == '') then return {'stale'} end
if (state and state.attempt or '0') ~= attempt then return {'stale'} end
if begun and uid ~= '' and state.rest ~= '' and state.rest ~= uid then return {'stale'} end
local ends = A[7] ~= '1' and intended(key, index, attempt)
if ends then return ends end
local ended = record(id, key, index, attempt, uid, {pod = A[8], node = A[9], status = A[10], reason = A[11],
  exit_code = A[12], message = A[13], created_at = A[14], started_at = A[15], finished_at = A[16]}, now_ms())
if ended then return {'ended', ended[1], tostring(ended[2])} end
return {'ok'}
