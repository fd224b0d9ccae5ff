//! What the operating system says of a failure. It speaks English; what it says most often is said in Chinese here.

use std::borrow::Cow;

use super::Lang;

/// The words of the system, and what they mean.
const KNOWN: [(&str, &str); 17] = [
    ("No such file or directory", "文件不存在"),
    ("Permission denied", "没有权限"),
    ("Is a directory", "这是一个目录"),
    ("Read-only file system", "文件系统只读"),
    ("No space left on device", "磁盘已满"),
    ("Too many open files", "打开的文件过多"),
    ("Address already in use", "地址已被占用"),
    ("Cannot assign requested address", "本机没有这个地址"),
    ("Connection refused", "连接被拒绝"),
    ("Connection reset by peer", "连接被对方重置"),
    ("Connection timed out", "连接超时"),
    ("Network is unreachable", "网络不可达"),
    ("No route to host", "没有到达主机的路由"),
    ("Broken pipe", "连接已断开"),
    ("unexpected end of file", "连接提前结束"),
    ("Name or service not known", "域名不存在"),
    ("Temporary failure in name resolution", "域名解析暂时失败"),
];

/// A text in which the words of the system are said in the user's language.
#[must_use]
pub fn system_words(text: &str, lang: Lang) -> Cow<'_, str> {
    let known = KNOWN.iter().filter(|(english, _)| lang == Lang::Zh && text.contains(english));
    known.fold(Cow::Borrowed(text), |text, (english, chinese)| Cow::Owned(text.replace(english, chinese)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_speaks_the_users_language() {
        let error = std::fs::read("/nowhere/at/all").expect_err("not there").to_string();
        assert_eq!(system_words(&error, Lang::En), error);
        assert_eq!(system_words(&error, Lang::Zh), "文件不存在 (os error 2)");
        assert_eq!(system_words("其他", Lang::Zh), "其他");
    }
}
