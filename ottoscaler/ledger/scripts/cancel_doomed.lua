-- Cancel the next workers of a doomed event: A = id, owner, epoch, time. Returns 'more' where some are left,
-- 'ended' where that ended the event, else 'ok': what had begun ends when its Pods have gone.
local failure = check_streams()
if failure then return failure end
if wiped() then return {'wiped'} end
local key = event_key(A[1])
local may = ownership(key, A[2], A[3])
if may ~= 'ok' then return {may} end
local ended, more = cancel_doomed(A[1], key, A[4], now_ms())
if ended then return {'ended', ended[1], tostring(ended[2])} end
return {more and 'more' or 'ok'}
