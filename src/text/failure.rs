//! Why an exchange failed, as the log says it.

use std::fmt;

use super::{Lang, Speak};
use crate::error::{Kind, Limit};

/// A kind of failure, to be said in words.
pub struct Failure(Kind);

/// A kind of failure, to be said in words.
#[must_use]
pub fn failure(kind: Kind) -> Failure {
    Failure(kind)
}

impl Speak for Failure {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match lang {
            Lang::En => self.en(f),
            Lang::Zh => self.zh(f),
        }
    }
}

impl Failure {
    fn en(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::RouteNotFound => f.write_str("the route does not exist or is disabled"),
            Kind::RouteMisconfigured => f.write_str("the route has no target_url"),
            Kind::RouteNeedsProxy => {
                f.write_str("the route goes through an upstream proxy, which this version does not support")
            }
            Kind::BadTargetUrl => f.write_str("the target URL is not valid"),
            Kind::EmptyPath => f.write_str("nothing is left of the path after base_path"),
            Kind::BadPath => f.write_str("the path could leave the target's prefix, or is not encoded in one way"),
            Kind::MethodNotAllowed => f.write_str("the method is not served here"),
            Kind::BadRequest(violation) => write!(f, "the request is not valid: {violation}"),
            Kind::RequestTimeout => f.write_str("the client was silent for too long inside its request"),
            Kind::BodyTooLarge => f.write_str("the request body is larger than server.limits.max_body_size"),
            Kind::Overloaded => f.write_str("more connections than server.limits.max_connections"),
            Kind::UpstreamDns => f.write_str("the upstream's name could not be resolved"),
            Kind::UpstreamConnect => f.write_str("the upstream takes no connection"),
            Kind::UpstreamTls => f.write_str("no TLS session with the upstream"),
            Kind::UpstreamProxy => f.write_str("the upstream proxy did not let the request through"),
            Kind::UpstreamReset => f.write_str("the upstream closed the connection before it answered"),
            Kind::UpstreamBadAnswer => f.write_str("the upstream's answer is not valid"),
            Kind::UpstreamTimeout(limit) => write!(f, "the upstream took longer than timeouts.{}", limit.name()),
            Kind::Internal => f.write_str("a bug in the proxy"),
        }
    }

    fn zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::RouteNotFound => f.write_str("路由不存在或已禁用"),
            Kind::RouteMisconfigured => f.write_str("路由缺少 target_url"),
            Kind::RouteNeedsProxy => f.write_str("路由需要经由转发代理，而此版本尚不支持"),
            Kind::BadTargetUrl => f.write_str("目标 URL 无效"),
            Kind::EmptyPath => f.write_str("剥离 base_path 后路径为空"),
            Kind::BadPath => f.write_str("路径可能越出目标前缀，或编码有歧义"),
            Kind::MethodNotAllowed => f.write_str("此处不接受该请求方法"),
            Kind::BadRequest(violation) => write!(f, "请求无效: {violation}"),
            Kind::RequestTimeout => f.write_str("客户端在发送请求途中静默过久"),
            Kind::BodyTooLarge => f.write_str("请求体超过 server.limits.max_body_size"),
            Kind::Overloaded => f.write_str("连接数超过 server.limits.max_connections"),
            Kind::UpstreamDns => f.write_str("无法解析上游域名"),
            Kind::UpstreamConnect => f.write_str("无法连接上游"),
            Kind::UpstreamTls => f.write_str("与上游的 TLS 握手失败"),
            Kind::UpstreamProxy => f.write_str("转发代理拒绝了请求"),
            Kind::UpstreamReset => f.write_str("上游在应答之前关闭了连接"),
            Kind::UpstreamBadAnswer => f.write_str("上游的应答无效"),
            Kind::UpstreamTimeout(limit) => write!(f, "上游超时: {}", limit_in_chinese(limit)),
            Kind::Internal => f.write_str("代理内部错误"),
        }
    }
}

fn limit_in_chinese(limit: Limit) -> &'static str {
    match limit {
        Limit::Connect => "超过连接时限 (timeouts.connect)",
        Limit::FirstByte => "超过首字节时限 (timeouts.first_byte)",
        Limit::Idle => "静默超过时限 (timeouts.idle)",
        Limit::Total => "超过总时限 (timeouts.total)",
    }
}
