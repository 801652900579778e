//! Prepared tensors: made once, let go of and read again.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::path::Path;

use super::*;
use crate::weights::WeightFile;

/// A safetensors file of one tensor `[2, 2]`.
fn prepared(test: &str, dtype: &str, numbers: &[u8]) -> (Prepared, Tensor) {
    let length = numbers.len();
    let header = format!("{{\"a\":{{\"dtype\":\"{dtype}\",\"shape\":[2,2],\"data_offsets\":[0,{length}]}}}}");
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), numbers].concat();
    let path = std::env::temp_dir().join(format!("bge-prepared-{test}-{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let weights = Weights::open(&[WeightFile { name: "it".into(), path: path.clone(), prefix: "" }]);
    std::fs::remove_file(path).unwrap();
    let weights = Arc::new(weights.unwrap());
    let tensor = weights.find("a", &[2, 2]).unwrap().clone();
    (Prepared::new(weights, Arithmetic::Float32, 2), tensor)
}

fn converted(prepared: &Prepared, tensor: &Tensor) -> Vec<f32> {
    let numbers = prepared.float32("a", tensor).unwrap();
    let bytes = prepared.bytes(&numbers);
    bytes.chunks(4).map(|number| f32::from_le_bytes(number.try_into().unwrap())).collect()
}

#[test]
fn numbers_of_other_types_are_converted_once() {
    let bits = |numbers: [u16; 4]| numbers.map(u16::to_le_bytes).concat();
    let (halves, tensor) = prepared("f16", "F16", &bits([0x3c00, 0xc500, 0x0001, 0x7bff]));
    assert_eq!(converted(&halves, &tensor), [1.0, -5.0, 2f32.powi(-24), 65504.0]);
    let (doubles, tensor) = prepared("f64", "F64", &[1.0, -5.0, 0.1, 1e-320].map(f64::to_le_bytes).concat());
    assert_eq!(converted(&doubles, &tensor), [1.0, -5.0, 0.1, 0.0]);
    let (short, tensor) = prepared("bf16", "BF16", &bits([0x3f80, 0xc0a0, 0x0001, 0x7f7f]));
    let expected = [1.0, -5.0, f32::from_bits(0x0001_0000), f32::from_bits(0x7f7f_0000)];
    assert_eq!(converted(&short, &tensor), expected);
    short.let_go_behind(|| ());
    assert_eq!(converted(&short, &tensor), expected, "released pages come back");
    let regions = [0, 1].map(|_| match short.float32("a", &tensor).unwrap() {
        Numbers::Converted(region) => region,
        Numbers::Stored(_) | Numbers::Narrowed(..) => panic!("16 bits are no float32"),
    });
    assert!(Arc::ptr_eq(&regions[0], &regions[1]));
}

/// Memory in kB that the mapped pages of a file take in this process.
#[cfg(target_os = "linux")]
fn resident(path: &Path) -> u64 {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = maps.lines().skip_while(|line| !line.ends_with(path.to_str().unwrap()));
    let size = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
    size.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn pages_are_let_go_of_while_they_are_read_and_come_back() {
    let data = vec![7; 1 << 20];
    let tensor = ::safetensors::tensor::TensorView::new(::safetensors::Dtype::F32, vec![1 << 18], &data).unwrap();
    let path = std::env::temp_dir().join(format!("bge-prepared-pages-{}", std::process::id()));
    std::fs::write(&path, ::safetensors::serialize([("weight", tensor)], None).unwrap()).unwrap();
    let file = WeightFile { name: "it".into(), path: path.clone(), prefix: "" };
    let prepared = Prepared::new(Arc::new(Weights::open(&[file]).unwrap()), Arithmetic::Float32, 2);
    let tensor = prepared.weights().find("weight", &[1 << 18]).unwrap();
    let sum = || prepared.weights().bytes(tensor).iter().map(|&byte| u64::from(byte)).sum::<u64>();
    assert_eq!(sum(), 7 << 20);
    assert!(resident(&path) >= 1024);
    let during = prepared.let_go_behind(|| {
        for _ in 0..500 {
            if resident(&path) == 0 {
                break;
            }
            thread::sleep(RELEASE_INTERVAL);
        }
        (resident(&path), sum())
    });
    assert_eq!(during, (0, 7 << 20));
    assert_eq!(resident(&path), 0);
    assert_eq!(sum(), 7 << 20);
    std::fs::remove_file(path).unwrap();
}
