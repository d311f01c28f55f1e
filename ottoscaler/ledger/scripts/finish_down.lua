-- A scale_down whose victims' Pods have been asked to go is finished: A = id, owner, epoch, patient ('1': not before
-- the end of each victim is recorded, so that only those are counted which were cancelled; else those whose end is
-- not known yet are counted, as their intents stand).
local failure = untellable(RESULTS)
if failure then return failure end
local key, refused = own_event()
if refused then return refused end
local victims = count_at(key, 'victims')
if victims > 0 and A[4] == '1' then return {'more'} end
local ended = finish_event(A[1], key, now_ms(), math.max(0, victims))
return {'ok', ended[1], tostring(ended[2])}
