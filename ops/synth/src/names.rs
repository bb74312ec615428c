//! Plausible names: surname, middle name, given name. All text here is in NFC.
//!
//! Among Kinh the surname Nguyễn is about 43 %, so that the country as a whole comes near 39 %.

use crate::draws::{Draws, Lottery};
use crate::ethnicity::Ethnicity;
use crate::resident::Sex;

type Names = Lottery<&'static str>;

#[rustfmt::skip]
static NORTHERN: Names = Lottery::new(&[
    ("Nguyễn", 457), ("Trần", 118), ("Lê", 100), ("Phạm", 74), ("Hoàng", 38), ("Vũ", 39), ("Phan", 27), ("Đặng", 22),
    ("Bùi", 21), ("Đỗ", 22), ("Ngô", 13), ("Hồ", 9), ("Dương", 10), ("Đinh", 9), ("Đào", 8), ("Trịnh", 8), ("Lương", 7),
    ("Đoàn", 7), ("Mai", 6), ("Tạ", 5), ("Cao", 5), ("Trương", 8), ("Hà", 6), ("Lưu", 4), ("Lý", 3), ("Chu", 4),
    ("Phùng", 4), ("Kiều", 2), ("Nghiêm", 2), ("Quách", 1), ("Thái", 2), ("Tô", 3), ("Vương", 3), ("Bạch", 1),
]);

#[rustfmt::skip]
static SOUTHERN: Names = Lottery::new(&[
    ("Nguyễn", 462), ("Trần", 120), ("Lê", 96), ("Phạm", 62), ("Huỳnh", 52), ("Võ", 42), ("Phan", 36), ("Đặng", 21),
    ("Bùi", 16), ("Đỗ", 13), ("Hồ", 18), ("Ngô", 13), ("Dương", 13), ("Trương", 14), ("Lý", 6), ("Cao", 6),
    ("Đoàn", 7), ("Mai", 6), ("Lâm", 7), ("Châu", 4), ("Tô", 3), ("Thái", 3), ("Lương", 4), ("Đinh", 4),
    ("Hà", 3), ("Lưu", 3), ("Trịnh", 3), ("Kiều", 2), ("Tạ", 2), ("Quách", 2),
]);

static TAY_NUNG: Names = Lottery::new(&[
    ("Nông", 22),
    ("Hoàng", 22),
    ("Lương", 8),
    ("Triệu", 7),
    ("Vi", 6),
    ("Lý", 6),
    ("Ma", 6),
    ("Hà", 5),
    ("Đàm", 4),
    ("Bế", 3),
    ("Lộc", 3),
    ("Nguyễn", 8),
]);
static THAI: Names = Lottery::new(&[
    ("Lò", 30),
    ("Quàng", 14),
    ("Cà", 12),
    ("Lường", 12),
    ("Vi", 10),
    ("Tòng", 8),
    ("Hà", 6),
    ("Bạc", 3),
    ("Cầm", 3),
    ("Lô", 6),
]);
static MUONG: Names = Lottery::new(&[("Bùi", 45), ("Đinh", 14), ("Quách", 10), ("Hà", 10), ("Nguyễn", 12), ("Xa", 3), ("Phạm", 6)]);
static HMONG: Names =
    Lottery::new(&[("Giàng", 20), ("Vàng", 18), ("Sùng", 15), ("Thào", 12), ("Lý", 10), ("Má", 6), ("Hạng", 6), ("Mùa", 6), ("Vừ", 7)]);
static DAO: Names = Lottery::new(&[("Triệu", 22), ("Bàn", 20), ("Đặng", 20), ("Lý", 14), ("Phùng", 10), ("Chảo", 8), ("Tẩn", 6)]);
static KHMER: Names =
    Lottery::new(&[("Thạch", 24), ("Danh", 18), ("Sơn", 14), ("Kim", 12), ("Lâm", 10), ("Châu", 8), ("Kiên", 5), ("Lý", 5), ("Trần", 4)]);
static HOA: Names =
    Lottery::new(&[("Trần", 18), ("Lâm", 14), ("Lý", 12), ("Trương", 10), ("Quách", 8), ("Huỳnh", 10), ("Vương", 8), ("Dương", 8)]);
static HIGHLAND: Names =
    Lottery::new(&[("Niê", 16), ("Ksor", 14), ("Rơ", 10), ("Siu", 12), ("Ayun", 6), ("Mlô", 8), ("Hồ", 10), ("Đinh", 14), ("Điểu", 10)]);

#[rustfmt::skip]
static MIDDLE_MALE: Names = Lottery::new(&[
    ("Văn", 300), ("Hữu", 60), ("Đức", 60), ("Minh", 75), ("Quang", 50), ("Công", 40), ("Xuân", 40), ("Thành", 40),
    ("Quốc", 50), ("Đình", 45), ("Ngọc", 45), ("Anh", 25), ("Gia", 30), ("Hoàng", 45), ("Tuấn", 25), ("Trọng", 25),
    ("Thanh", 35), ("Bá", 15), ("Duy", 30), ("Tiến", 20), ("Viết", 10),
]);

#[rustfmt::skip]
static MIDDLE_FEMALE: Names = Lottery::new(&[
    ("Ngọc", 140), ("Thu", 85), ("Phương", 70), ("Thanh", 90), ("Bích", 45), ("Kim", 70), ("Hồng", 65), ("Minh", 55),
    ("Mỹ", 45), ("Quỳnh", 40), ("Khánh", 35), ("Bảo", 35), ("Thùy", 50), ("Diệu", 25), ("Hải", 25), ("Mai", 30),
    ("Lan", 20), ("Như", 30), ("Tuyết", 20), ("Cẩm", 15), ("Gia", 15),
]);

#[rustfmt::skip]
static GIVEN_MALE: Names = Lottery::new(&[
    ("Hùng", 36), ("Dũng", 30), ("Tuấn", 34), ("Minh", 32), ("Nam", 26), ("Long", 24), ("Sơn", 24), ("Hải", 24),
    ("Thắng", 24), ("Cường", 24), ("Anh", 28), ("Hiếu", 20), ("Đức", 22), ("Tùng", 18), ("Hoàng", 24), ("Huy", 26),
    ("Khánh", 14), ("Bình", 20), ("Phúc", 20), ("Thành", 26), ("Trung", 20), ("Việt", 14), ("Quân", 16), ("Phong", 18),
    ("Tân", 14), ("Lâm", 14), ("Hưng", 16), ("Kiên", 12), ("Khoa", 14), ("Đạt", 18), ("Tài", 16), ("Bảo", 16),
    ("Nghĩa", 14), ("Toàn", 12), ("Thọ", 8), ("Vinh", 14), ("Quang", 14), ("Lợi", 10), ("Hòa", 12), ("Duy", 14),
]);

#[rustfmt::skip]
static GIVEN_FEMALE: Names = Lottery::new(&[
    ("Hương", 32), ("Lan", 32), ("Hoa", 28), ("Mai", 26), ("Linh", 30), ("Hà", 26), ("Thảo", 26), ("Trang", 26),
    ("Hạnh", 24), ("Nga", 20), ("Thúy", 20), ("Hằng", 22), ("Phương", 26), ("Yến", 18), ("Ngọc", 22), ("Anh", 22),
    ("Nhung", 16), ("Oanh", 14), ("Loan", 16), ("Hiền", 20), ("Dung", 18), ("Vân", 20), ("Tuyết", 14), ("Liên", 14),
    ("Trinh", 14), ("Vy", 14), ("Nhi", 16), ("My", 14), ("Quỳnh", 14), ("Châu", 12), ("Thủy", 20), ("Xuân", 12),
    ("Bích", 8), ("Diễm", 8), ("Tâm", 14), ("Thu", 16), ("Huệ", 12), ("Ánh", 12), ("Thơ", 8), ("Như", 12),
]);

/// A surname usual in that group and part of the country.
pub(super) fn surname(ethnicity: Ethnicity, is_southern: bool, draws: &mut Draws) -> &'static str {
    let names = match ethnicity.code() {
        "tay" | "nung" | "san_chay" | "giay" => &TAY_NUNG,
        "thai" | "kho_mu" | "khang" | "lao" | "xinh_mun" | "la_ha" => &THAI,
        "muong" => &MUONG,
        "hmong" => &HMONG,
        "dao" | "pa_then" => &DAO,
        "khmer" => &KHMER,
        "hoa" | "ngai" => &HOA,
        "e_de" | "gia_rai" | "ba_na" | "mnong" | "xo_dang" | "hre" | "xtieng" | "bru_van_kieu" => &HIGHLAND,
        _ if is_southern => &SOUTHERN,
        _ => &NORTHERN,
    };
    names.draw(draws)
}

/// Middle and given name. "Thị" was nearly universal for women and has become rare among girls.
pub(super) fn middle_and_given(sex: Sex, age: u8, draws: &mut Draws) -> (&'static str, &'static str) {
    match sex {
        Sex::Male => (MIDDLE_MALE.draw(draws), GIVEN_MALE.draw(draws)),
        Sex::Female => {
            let thi_per_mille = match age {
                ..15 => 180,
                15..35 => 480,
                _ => 780,
            };
            let middle = if draws.chance(thi_per_mille) { "Thị" } else { MIDDLE_FEMALE.draw(draws) };
            (middle, GIVEN_FEMALE.draw(draws))
        }
    }
}
