-- Gives back what was set aside for a request, and counts what it used.
--
-- ARGV: process, tokens set aside, tokens used, day, month, then each subject's id.
local process, reserved, used, day, month = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
for at = 6, #ARGV do
  local key = 'slipway:limits:' .. ARGV[at]
  if redis.call('HINCRBY', key .. ':held', process .. '/n', -1) <= 0 then
    redis.call('HDEL', key .. ':held', process .. '/n', process .. '/t')
  else
    redis.call('HINCRBY', key .. ':held', process .. '/t', -reserved)
  end
  if used > 0 then
    -- A minute that has ended meanwhile begins anew.
    redis.call('HINCRBY', key .. ':minute', 't', used)
    if redis.call('PTTL', key .. ':minute') < 0 then redis.call('PEXPIRE', key .. ':minute', 60000) end
    -- What is not here is read from where usage is kept, this request's with it.
    for _, budget in ipairs({key .. ':day:' .. day, key .. ':month:' .. month}) do
      if redis.call('EXISTS', budget) == 1 then redis.call('INCRBY', budget, used) end
    end
  end
end
return 1
