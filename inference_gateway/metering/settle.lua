-- Counts what a process used of its advance, and what it holds more or less than before.
--
-- ARGV: process, requests and tokens used, then by how much more it holds: requests, tokens, and of these in advance
-- requests, tokens; the day and the month as budgets' keys end with them, then each subject's id and the minute in which
-- the requests came.
-- Returns {"ok"} or {"lost"}: what this process held is forgotten, and nothing was counted.
local process, requests, used, day, month = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[8], ARGV[9]
local more = {n = tonumber(ARGV[4]), t = tonumber(ARGV[5]), u = tonumber(ARGV[6]), a = tonumber(ARGV[7])}
if redis.call('EXPIRE', 'slipway:limits:alive:' .. process, 10) == 0 then return {'lost'} end
for at = 10, #ARGV, 2 do
  local key = 'slipway:limits:' .. ARGV[at]
  local minute = key .. ':minute'
  for kind, change in pairs(more) do
    local field = process .. '/' .. kind
    if change ~= 0 and redis.call('HINCRBY', key .. ':held', field, change) <= 0 then
      redis.call('HDEL', key .. ':held', field)
    end
  end
  if more.n > 0 or more.t > 0 then redis.call('EXPIRE', key .. ':held', 86400) end
  -- Requests of a minute that has ended count nowhere any more.
  if requests > 0 and redis.call('HGET', minute, 's') == ARGV[at + 1] then
    redis.call('HINCRBY', minute, 'r', requests)
  end
  if used > 0 then
    -- Tokens count when they are used: a minute that has ended meanwhile begins anew.
    redis.call('HINCRBY', minute, 't', used)
    if redis.call('PTTL', minute) < 0 then redis.call('PEXPIRE', minute, 60000) end
    -- What is not here is read from where usage is kept, these with it.
    for _, budget in ipairs({key .. ':' .. day, key .. ':' .. month}) do
      if redis.call('EXISTS', budget) == 1 then redis.call('INCRBY', budget, used) end
    end
  end
end
return {'ok'}
