-- Sets aside one request, and what tokens it may use, of every subject's limits, or of none.
--
-- ARGV: process, prompt tokens, completion tokens, 1 where the completion may be cut to what is left, day, month,
-- then for each subject: id, requests a minute, tokens a minute, parallel requests, tokens a day, tokens a month;
-- -1 is no limit.
-- Returns {"ok", completion tokens set aside, requests: limit, left, milliseconds, tokens: limit, left, milliseconds},
-- {"no", subject's number, limit's name, limit, used, milliseconds until it is worth asking again, 1 if never}
-- or {"load", subject's number}: a budget's count is not here and has to be read from where usage is kept.
local process, prompt, completion = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local is_soft, day, month = ARGV[4] == '1', ARGV[5], ARGV[6]
redis.call('SET', 'slipway:limits:alive:' .. process, 1, 'EX', 10)

local living = {[process] = true}
local function lives(name)
  if living[name] == nil then
    living[name] = redis.call('EXISTS', 'slipway:limits:alive:' .. name) == 1
  end
  return living[name]
end

-- What requests under way have set aside: how many, and their tokens. Of a process that has died nothing is left.
local function sum_held(key)
  local count, tokens, fields = 0, 0, redis.call('HGETALL', key)
  for at = 1, #fields, 2 do
    local name, kind = string.match(fields[at], '^(.*)/(%a)$')
    if not lives(name) then
      redis.call('HDEL', key, fields[at])
    elseif kind == 'n' then
      count = count + math.max(0, tonumber(fields[at + 1]))
    else
      tokens = tokens + math.max(0, tonumber(fields[at + 1]))
    end
  end
  return count, tokens
end

local subjects, room = {}, math.huge
for at = 7, #ARGV, 6 do
  local key = 'slipway:limits:' .. ARGV[at]
  local one = {minute = key .. ':minute', held = key .. ':held', day = key .. ':day:' .. day, month = key .. ':month:' .. month}
  local number = (at - 7) / 6 + 1
  local requests, tokens, parallel = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  one.requests, one.limits = requests, {}
  one.count, one.reserved = sum_held(one.held)
  one.left_ms = redis.call('PTTL', one.minute)
  if one.left_ms < 0 then one.left_ms = 60000 end
  one.asked = tonumber(redis.call('HGET', one.minute, 'r') or 0)
  if requests >= 0 and one.asked + 1 > requests then
    return {'no', number, 'requests_per_minute', requests, one.asked, one.left_ms, requests < 1 and 1 or 0}
  end
  if parallel >= 0 and one.count + 1 > parallel then
    return {'no', number, 'parallel_requests', parallel, one.count, 1000, parallel < 1 and 1 or 0}
  end
  local minute_used = tonumber(redis.call('HGET', one.minute, 't') or 0)
  if tokens >= 0 then one.limits[#one.limits + 1] = {'tokens_per_minute', tokens, minute_used, one.left_ms} end
  for _, budget in ipairs({{'tokens_per_day', tonumber(ARGV[at + 4]), one.day}, {'tokens_per_month', tonumber(ARGV[at + 5]), one.month}}) do
    if budget[2] >= 0 then
      local used = redis.call('GET', budget[3])
      if not used then return {'load', number} end
      one.limits[#one.limits + 1] = {budget[1], budget[2], tonumber(used), -1}
    end
  end
  for _, limit in ipairs(one.limits) do
    local used = limit[3] + one.reserved
    local least = is_soft and prompt + 1 or prompt + completion
    if used + least > limit[2] then
      return {'no', number, limit[1], limit[2], used, limit[4], least > limit[2] and 1 or 0}
    end
    room = math.min(room, limit[2] - used - prompt)
  end
  subjects[number] = one
end

if is_soft then completion = math.min(completion, room) end
local told = {'ok', completion, -1, -1, -1, -1, -1, -1}
for _, one in ipairs(subjects) do
  if redis.call('HINCRBY', one.minute, 'r', 1) == 1 then redis.call('PEXPIRE', one.minute, 60000) end
  redis.call('HINCRBY', one.held, process .. '/n', 1)
  redis.call('HINCRBY', one.held, process .. '/t', prompt + completion)
  redis.call('EXPIRE', one.held, 86400)
  if one.requests >= 0 and (told[4] < 0 or one.requests - one.asked - 1 < told[4]) then
    told[3], told[4], told[5] = one.requests, one.requests - one.asked - 1, one.left_ms
  end
  for _, limit in ipairs(one.limits) do
    local left = limit[2] - limit[3] - one.reserved - prompt - completion
    if told[7] < 0 or left < told[7] then told[6], told[7], told[8] = limit[2], left, limit[4] end
  end
end
return told
