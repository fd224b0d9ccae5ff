-- What is known under one name, as it is now. The three numbers of old are at the time of `at`.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

local function read(key, requests, tokens, period)
  local found = redis.call('HMGET', key, 'requests', 'tokens', 'at', 'period', 'spent_tokens', 'spent_picodollars')
  local since = math.max(0, now - (tonumber(found[3]) or now))
  local row = {
    requests = 0, tokens = 0, period = found[4] or '',
    spent_tokens = tonumber(found[5]) or 0, spent_picodollars = tonumber(found[6]) or 0,
  }
  if requests then
    row.requests = math.min(requests, math.max(0, (tonumber(found[1]) or 0) - requests * since / 60))
  end
  if tokens then
    row.tokens = math.max(0, (tonumber(found[2]) or 0) - tokens * since / 60)
  end
  -- Whoever is late at midnight does not bring the old day back.
  if period ~= '' and (row.period < period or string.sub(row.period, 1, 1) ~= string.sub(period, 1, 1)) then
    row.period, row.spent_tokens, row.spent_picodollars = period, 0, 0
  end
  return row
end

local function text(number)
  return string.format('%.17g', number)
end

local function write(key, row, tokens)
  redis.call('HSET', key, 'requests', text(row.requests), 'tokens', text(row.tokens), 'at', text(now),
    'period', row.period, 'spent_tokens', text(row.spent_tokens), 'spent_picodollars', text(row.spent_picodollars))
  local seconds = 120
  if row.period ~= '' then
    seconds = 40 * 86400
  elseif tokens then
    seconds = seconds + math.ceil(row.tokens / tokens * 60)
  end
  redis.call('EXPIRE', key, seconds)
end
